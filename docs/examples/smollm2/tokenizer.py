"""Text to tokens and back, with the vocabulary and merges of the model file."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.decoders import DecodeStream
from weights import ModelFile

CONTROL_TOKEN = 3  # the file's token type for tokens that never come from plain text
SYSTEM_PROMPT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


class TextTokenizer:
    """Byte-level BPE: each digit is a token of its own, other text is cut by GPT-2's pattern.

    Parameters
    ----------
    file : ModelFile
        The open model file.
    """

    def __init__(self, file: ModelFile) -> None:
        tokens = file.metadata("tokenizer.ggml.tokens")
        token_types = file.metadata("tokenizer.ggml.token_type")
        merges = [tuple(merge.split(" ")) for merge in file.metadata("tokenizer.ggml.merges")]
        vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
        self._tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        self._tokenizer.decoder = decoders.ByteLevel()
        self._tokenizer.add_special_tokens(
            [
                AddedToken(token, special=True, normalized=False)
                for token, token_type in zip(tokens, token_types, strict=True)
                if token_type == CONTROL_TOKEN
            ]
        )
        # The model ends a chat turn with eos and a plain text with <|endoftext|>.
        self.stop_tokens = {
            int(file.metadata("tokenizer.ggml.eos_token_id")),
            vocabulary["<|endoftext|>"],
        }

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`; nothing is put before or after them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_chat(self, question: str) -> list[int]:
        """Return the tokens of a ChatML conversation that waits for the answer to `question`."""
        return self.encode(
            f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>\n"
            f"<|im_start|>user\n{question}<|im_end|>\n"
            "<|im_start|>assistant\n"
        )

    def decode(self, token_ids: list[int]) -> str:
        """Return the text of `token_ids`, without control tokens."""
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def stream(self) -> "TextStream":
        """Return a decoder that takes tokens one at a time."""
        return TextStream(self._tokenizer)


class TextStream:
    """Tokens to text as they come; a character cut over two tokens waits for its second half."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def add(self, token_id: int) -> str:
        """Return the text that is complete with this token; it may be empty."""
        return self._stream.step(self._tokenizer, token_id) or ""
