"""Fine-tune vision-language models on the figures of research papers."""
