/* The evaluation callback of edgelora/engine/mask.py in native code: it runs for every node of every graph.
 *
 * It knows nothing of ggml's headers or of Python. Where a tensor keeps its fields is told at run time, by
 * edgelora/native/layout.py, which has compared the offsets with ggml's own accessors. Everything it reads is owned by
 * whoever owns the state; nothing changes while a graph is computed. The structures are mirrored in mask_callback.py.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One A tensor whose product is masked. A routed one belongs to experts: its product is [n_tokens, n_used, n_columns]
 * in numpy order, others are [n_tokens, n_columns]. */
struct watched {
    uint64_t tensor; /* 0: a free place in the table */
    int32_t kind;
    int32_t routed;
};

/* The masks for products of n_rows tokens, by kind: f32 [n_rows, n_columns] each. */
struct masks {
    int64_t n_rows;
    const float *const *by_kind;
};

enum { NO_ERROR, WRONG_ROWS, WRONG_COLUMNS };

struct state {
    uint64_t ne, src0, data;     /* byte offsets in a tensor */
    const struct watched *table; /* open addressing; its size is a power of two and it is never full */
    uint64_t table_mask;         /* its size less one */
    struct masks tokens, outputs;
    int64_t n_columns;
    void (*visit)(uint64_t); /* set during discovery: gets src[0] of every node, and nothing is masked */
    int64_t n_applied;
    int64_t error;
    int64_t found; /* what the error was about: how many rows or columns there were */
};

/* Which source this was compiled from: a library older than its source is not used. */
const char edgelora_mask_source[] = EDGELORA_SOURCE;

static uint64_t field(const char *tensor, uint64_t offset) {
    return *(const uint64_t *)(tensor + offset);
}

static const struct watched *find(const struct state *state, uint64_t tensor) {
    if (tensor == 0) {
        return NULL;
    }
    for (uint64_t at = tensor >> 4;; at++) { /* tensors are objects of one size in a row: their addresses spread well */
        const struct watched *entry = &state->table[at & state->table_mask];
        if (entry->tensor == tensor) {
            return entry;
        }
        if (entry->tensor == 0) {
            return NULL;
        }
    }
}

static void fail(struct state *state, int64_t error, int64_t found) {
    state->error = error;
    state->found = found;
}

static void multiply(float *restrict values, const float *restrict mask, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        values[i] *= mask[i];
    }
}

static void apply(struct state *state, const char *node, const struct watched *watched) {
    const int64_t *ne = (const int64_t *)(node + state->ne);
    const int64_t n_rows = watched->routed ? ne[2] : ne[1];
    const int64_t n_each = watched->routed ? ne[1] : ne[2];
    state->n_applied++;
    if (n_rows == 0) { /* the last layer of a batch that wants no logits */
        return;
    }
    const struct masks *masks = n_rows == state->tokens.n_rows ? &state->tokens : &state->outputs;
    if (n_rows != masks->n_rows || (!watched->routed && n_each != 1)) {
        fail(state, WRONG_ROWS, n_rows * n_each);
        return;
    }
    if (ne[0] != state->n_columns) {
        fail(state, WRONG_COLUMNS, ne[0]);
        return;
    }
    float *values = (float *)(uintptr_t)field(node, state->data);
    const float *mask = masks->by_kind[watched->kind];
    for (int64_t row = 0; row < n_rows; row++, mask += ne[0]) {
        for (int64_t i = 0; i < n_each; i++, values += ne[0]) {
            multiply(values, mask, ne[0]);
        }
    }
}

/* ggml_backend_sched_eval_callback. False after a node was computed would end the graph, so that is never said. */
bool edgelora_mask_callback(const char *node, bool ask, struct state *state) {
    const uint64_t source = field(node, state->src0);
    if (ask && state->visit) {
        state->visit(source);
        return false;
    }
    const struct watched *watched = find(state, source);
    if (!ask && watched) {
        apply(state, node, watched);
    }
    return !ask || watched;
}
