"""Fine-tune vision-language models on the figures of research papers."""

import logging

# bitsandbytes looks for a faster CPU kernel in a package that nothing here needs, and warns on every import without it.
# Filtered before anything can import it; its other warnings stay.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: not record.getMessage().startswith("Failed to load CPU gemm_4bit_forward from kernels-community")
)
