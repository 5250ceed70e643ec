"""How the built-in sparse model was made."""
