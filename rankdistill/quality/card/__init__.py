"""What lies beside the tables for others: the card, croissant.json and openlineage.json."""
