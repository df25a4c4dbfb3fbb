# The tables of the core: all kinds of ops, activations, losses and optimizers.

from libc.string cimport memset

from cbp.kernels.activations cimport MOST_ACTIVATIONS, Activation, fill_activations
from cbp.kernels.losses cimport MOST_LOSSES, Loss, fill_losses
from cbp.kernels.optimizers cimport MOST_OPTIMIZERS, Optimizer, fill_optimizers
from cbp.ops.convolution_op cimport convolution_kind
from cbp.ops.dense_op cimport dense_kind
from cbp.ops.embedding_op cimport embedding_kind
from cbp.ops.grouped_op cimport grouped_kind
from cbp.ops.noise_op cimport dropout_kind, gaussian_noise_kind
from cbp.ops.normalization_op cimport batch_norm_kind, group_norm_kind, layer_norm_kind
from cbp.ops.passes cimport GRADIENT_BLOCK, Kind
from cbp.ops.pooling_op cimport average_pool_kind, max_pool_kind
from cbp.ops.prelu_op cimport prelu_kind
from cbp.ops.recurrent_op cimport gru_kind, lstm_kind, rnn_kind
from cbp.ops.structure_op cimport concat_kind, copy_kind, join_kind, split_kind
from cbp.ops.thin_op cimport thin_kind


cdef enum:
    MOST_KINDS = 64

ctypedef void (*Register)(Kind* kind) noexcept


cdef struct Tables:
    # Everything that has a name in Python: its place in its table is its number in an Op or a Run.
    int kind_count
    int activation_count
    int loss_count
    int optimizer_count
    Kind kinds[MOST_KINDS]
    Activation activations[MOST_ACTIVATIONS]
    Loss losses[MOST_LOSSES]
    Optimizer optimizers[MOST_OPTIMIZERS]


cdef inline void fill_tables(Tables* tables) noexcept:
    memset(tables, 0, sizeof(Tables))
    tables.activation_count = fill_activations(tables.activations)
    tables.loss_count = fill_losses(tables.losses)
    tables.optimizer_count = fill_optimizers(tables.optimizers)
    tables.kind_count = fill_kinds(tables.kinds)


cdef inline int fill_kinds(Kind* table) noexcept:
    """All kinds of ops; returns how many."""
    cdef int n = 0
    add(table, &n, dense_kind)
    add(table, &n, copy_kind)
    add(table, &n, split_kind)
    add(table, &n, join_kind)
    add(table, &n, concat_kind)
    add(table, &n, max_pool_kind)
    add(table, &n, average_pool_kind)
    add(table, &n, embedding_kind)
    add(table, &n, batch_norm_kind)
    add(table, &n, layer_norm_kind)
    add(table, &n, dropout_kind)
    add(table, &n, gaussian_noise_kind)
    add(table, &n, convolution_kind)
    add(table, &n, grouped_kind)
    add(table, &n, rnn_kind)
    add(table, &n, lstm_kind)
    add(table, &n, gru_kind)
    add(table, &n, prelu_kind)
    add(table, &n, group_norm_kind)
    add(table, &n, thin_kind)
    return n


cdef inline void add(Kind* table, int* count, Register register) noexcept:
    table[count[0]].block = GRADIENT_BLOCK
    register(&table[count[0]])
    count[0] += 1
