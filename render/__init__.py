"""Renders the Quarto book to HTML with Python packages alone, where `quarto` is not found."""
