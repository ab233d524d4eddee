"""What train is made of: the pictures, the learner, its cycles and checkpoints, and the files it becomes."""
