"""Reports: figure gallery, data set preview and card, training curves, evaluation, comparison."""
