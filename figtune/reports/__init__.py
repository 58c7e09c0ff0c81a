"""The pages that people look at: figure gallery, data set preview, training curves, evaluation."""
