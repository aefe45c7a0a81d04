"""What features hold: rows, fits and reports."""
