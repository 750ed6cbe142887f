# What Stillwatch uses of LiteLLM, which cannot be installed beside the training libraries.
