"""Figure detection: captions, candidate regions, their scores and matching, panels and kinds."""
