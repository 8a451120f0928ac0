"""Light students: batches of a build, models, losses, training, evaluation, export."""
