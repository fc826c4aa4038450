"""What several contexts share: amounts of money and the ids of accounts."""
