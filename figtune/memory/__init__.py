"""How much memory training will take, told before it begins."""
