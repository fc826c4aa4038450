"""What an application is written against: messages, decisions, sagas, contexts, errors. The standard library only."""
