"""The composition root: the one place that picks implementations and hands them to the actors.

Each module makes one kind of actor, in the actor's own process; what it gets is the deployment, which is plain data.
What is heavy and only one actor needs is imported in its function, because the root imports all of these modules.
"""
