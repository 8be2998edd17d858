"""Renders the Quarto book to HTML with Python packages alone, for machines without `quarto`."""
