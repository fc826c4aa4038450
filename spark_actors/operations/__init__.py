"""The desk of operators: what they ask and do over the broker, for any application."""
