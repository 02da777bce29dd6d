"""What each word of a text adds to a prediction, found in three ways."""
