"""The checks, one file for each kind; each is a function from `Material` to findings."""
