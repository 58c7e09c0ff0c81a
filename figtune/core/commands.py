"""The stage scripts as a user types them: the remedy of every error about something that is not there yet."""

EXTRACT = "python extract_content.py"
PREPARE = "python prepare_data.py"
SETUP = "python setup_model.py"
TRAIN = "python train_model.py"
TEST = "python test_model.py"
