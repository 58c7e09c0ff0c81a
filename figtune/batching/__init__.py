"""Examples as a model reads them: tokenized, packed into rows, put into batches; and the loss of a batch."""
