"""The live view of `forthwith top`: what it knows, how it looks, and the terminal that it is shown on."""
