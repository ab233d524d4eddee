"""What reproduce is made of: all that a training began with, gathered anew; the distance of two models; and the table."""
