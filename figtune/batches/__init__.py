"""Examples as a model reads them: tokens, batches, masks, and the one way they go through it."""
