"""Who may ask for what: the clients, how they are registered, and what their profile tolerates."""
