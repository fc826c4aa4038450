"""The kernel that every bounded context builds on: messages, decisions, money, sagas, ports."""
