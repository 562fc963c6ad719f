"""What a report says: its first page, tables, figures and appendix."""
