"""What an application is written against: messages, aggregates, decisions, sagas, contexts, errors.

The standard library only.
"""
