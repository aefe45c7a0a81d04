"""What `scripts/report.py` is made of: reading runs, statistics over seeds, tables, figures and a page to look at."""
