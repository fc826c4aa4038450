"""The edge of the crowdfunding context: how what it decides and knows reaches the outside."""
