"""How many parameters a model has, and how many of them a token passes, counted from its configuration."""

from dataclasses import dataclass

from recommender.models.families import Family
from recommender.models.fields import ConfigProblem, Fields


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counts. `embeddings`: the token table and, where it is another, the output head."""

    total: int
    active: int  # of a mixture of experts without the experts that a token does not pass
    experts_total: int  # of all experts that are chosen from
    embeddings: int


def count_parameters(fields: Fields, family: Family, head_dim: int) -> Parameters:
    """Counts of a model of this family. Raises ConfigProblem when the configuration leaves out what they hang on."""
    hidden, layers = fields.whole("hidden_size"), fields.whole("num_hidden_layers")
    tied = fields.flag("tie_word_embeddings")
    embeddings = fields.whole("vocab_size") * hidden * (1 if tied else 2)
    attention = _latent_attention(fields, hidden) if family.latent else _attention(fields, family, hidden, head_dim)
    sparse = _sparse_layers(fields, family, layers)
    dense_mlp = 3 * hidden * fields.whole("intermediate_size") if sparse < layers else 0
    total = embeddings + hidden + layers * (attention + family.norms * hidden) + (layers - sparse) * dense_mlp
    vision = fields.section("vision_config")
    total += 0 if vision is None else _vision(Fields(vision), hidden)
    if not sparse or family.experts is None:
        return Parameters(total, total, 0, embeddings)
    count, each = fields.whole(family.experts), _expert(fields, family, hidden)
    chosen = min(count, fields.whole("num_experts_per_tok"))
    always = sparse * _beside_experts(fields, family, hidden, count)
    return Parameters(
        total + always + sparse * count * each,
        total + always + sparse * chosen * each,
        sparse * count * each,
        embeddings,
    )


def _attention(fields: Fields, family: Family, hidden: int, head_dim: int) -> int:
    """Projections of queries, keys, values and output of one layer, with their biases and norms."""
    queries = fields.whole("num_attention_heads") * head_dim
    keys = fields.whole("num_key_value_heads") * head_dim
    biased = fields.flag("attention_bias")
    bias = queries + 2 * keys if biased or family.qkv_bias else 0
    bias += hidden if biased else 0
    sinks = fields.whole("num_attention_heads") if family.expert_bias else 0
    return 2 * hidden * (queries + keys) + bias + sinks + (2 * head_dim if family.qk_norm else 0)


def _latent_attention(fields: Fields, hidden: int) -> int:
    """DeepSeek's: queries straight or by way of a low rank, keys and values out of one latent vector."""
    heads, latent, rope = (fields.whole(f) for f in ("num_attention_heads", "kv_lora_rank", "qk_rope_head_dim"))
    plain, value = fields.whole("qk_nope_head_dim"), fields.whole("v_head_dim")
    wide, rank = heads * (plain + rope), fields.optional_whole("q_lora_rank")
    queries = hidden * wide if not rank else hidden * rank + rank + rank * wide
    return queries + hidden * (latent + rope) + latent + latent * heads * (plain + value) + heads * value * hidden


def _sparse_layers(fields: Fields, family: Family, layers: int) -> int:
    """Layers with experts; the others are dense."""
    if family.experts is None or not fields.optional_whole(family.experts):
        return 0
    dense_list = fields.get("mlp_only_layers")
    dense = len(dense_list) if isinstance(dense_list, list) else 0
    every = fields.optional_whole("decoder_sparse_step") or fields.optional_whole("moe_layer_freq") or 1
    if every != 1:
        raise ConfigProblem(f"only one layer in {every} has experts, which is not understood here")
    return layers - max(dense, fields.optional_whole("first_k_dense_replace") or 0)


def _expert(fields: Fields, family: Family, hidden: int) -> int:
    width = fields.whole(family.expert_size)
    return 3 * hidden * width + (2 * width + hidden if family.expert_bias else 0)


def _beside_experts(fields: Fields, family: Family, hidden: int, count: int) -> int:
    """The router of one layer and the experts that every token passes."""
    router = hidden * count + (count if family.expert_bias or family.router_bias else 0)
    if family.shared_size is not None:  # with a gate of its own
        return router + 3 * hidden * fields.whole(family.shared_size) + hidden
    shared = fields.optional_whole("n_shared_experts") or 0
    return router + (3 * hidden * shared * fields.whole(family.expert_size) if shared else 0)


def _vision(fields: Fields, text_hidden: int) -> int:
    """SigLIP's tower and the projection into the text model, as Gemma 3 has them."""
    hidden, width, patch = (fields.whole(f) for f in ("hidden_size", "intermediate_size", "patch_size"))
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * width + width + hidden + 4 * hidden
    patches = (fields.whole("image_size") // patch) ** 2 * hidden
    embedding = 3 * patch * patch * hidden + hidden + patches
    return embedding + fields.whole("num_hidden_layers") * layer + 2 * hidden + hidden * text_hidden + hidden
