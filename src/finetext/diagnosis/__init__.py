"""Where the data and the model are wrong."""
