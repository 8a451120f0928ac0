"""Tables of what is known of users, items and requests, beside the log."""
