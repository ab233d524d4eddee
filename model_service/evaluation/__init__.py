"""What predictions are worth: measures, drift against what the model was trained on, and when to train again."""
