"""All SQL of forthwith, and a method for each statement."""
