"""Where a model fails, which labels are wrong, and what more of them would be worth."""
