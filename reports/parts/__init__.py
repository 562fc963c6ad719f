"""What a report says: its first page, its tables and its appendix."""
