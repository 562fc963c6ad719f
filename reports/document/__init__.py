"""What a report is made of, and how it is written down."""
