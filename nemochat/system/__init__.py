"""What nemochat asks of the system below it: how processes are started, and what they are given."""
