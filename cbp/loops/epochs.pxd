# Epochs, batches and pieces. A Run record says where the loop stands, so that a later call goes on.

from cython cimport floating
from libc.stdint cimport uint32_t
from libc.string cimport memset

from cbp.kernels cimport gather, random
from cbp.kernels.structs cimport BY_EPOCH, Op, Run
from cbp.kernels.team cimport TeamState
from cbp.loops.step cimport one_piece
from cbp.ops.passes cimport Pass, now
from cbp.ops.update cimport penalty


cdef inline void epochs_loop(
    Pass* batch, Py_ssize_t size, floating* arena, Py_ssize_t* row_labels, Py_ssize_t* row_lengths, double[:, ::1] curves,
    Py_ssize_t last_epoch, double patience, TeamState* team,
) noexcept nogil:
    cdef Run* run = batch.run
    cdef Py_ssize_t samples = batch.all_rows
    cdef Py_ssize_t unwatched = 0
    cdef Py_ssize_t burden = row_burden(batch)
    cdef Py_ssize_t weight = size >> 14   # a step of a large network takes long even with one row
    cdef double clock = now()
    cdef double deadline = clock + patience
    cdef random.Philox generator
    while run.epoch < last_epoch:
        if run.position == 0 and run.row == 0:
            begin_epoch(run)
            if run.fresh:
                forget(batch, arena)
            run.penalty = penalty(batch.ops, batch.count, run, <const floating*>batch.parameters)
            if run.shuffle:
                random.philox_start(&generator, run.seed, random.SHUFFLE, <uint32_t>run.epoch)
                random.shuffle(&generator, samples, <Py_ssize_t*>batch.order)
        if run.row == 0 and not has_rate(batch):
            return
        if run.row == 0:
            begin_batch(run, min(run.batch_size, samples - run.position), <const floating*>batch.all_weights, batch.order)
        batch.rows = min(run.piece, run.batch_rows - run.row)
        place_piece(batch, arena, row_labels, row_lengths)
        one_piece(batch, arena, team)
        if run.diverged:
            return
        run.row += batch.rows
        unwatched += batch.rows * burden + weight
        if run.row == run.batch_rows:
            end_batch(run)
        if unwatched >= 64:
            unwatched = 0
            clock = now()
        if run.position == samples:
            end_epoch(run, clock, batch.rule.base_rate, curves)
        if clock >= deadline:
            return


cdef inline Py_ssize_t row_burden(const Pass* batch) noexcept nogil:
    """How long a row takes, in units of some microseconds, and 1 at least."""
    cdef const Op* op
    cdef Py_ssize_t index, numbers = 0
    for index in range(batch.count):
        op = &batch.ops[index]
        numbers += op.in_positions * op.in_width + op.positions * op.width + op.extra_size
    return 1 + (products_of(batch.ops, batch.count) >> 15) + (numbers >> 13)


cdef inline Py_ssize_t products_of(const Op* ops, Py_ssize_t count) noexcept nogil:
    """Multiplications of a row on the way forward, roughly, and 2^60 at most."""
    cdef Py_ssize_t index
    cdef double products = 0
    for index in range(count):
        products += ops[index].work
    return <Py_ssize_t>min(products, <double>(1LL << 60))


cdef inline void begin_epoch(Run* run) noexcept nogil:
    run.epoch_loss = 0
    run.epoch_metric = 0
    run.epoch_weight = 0


cdef inline void forget(Pass* batch, const floating* like) noexcept nogil:
    """No row has a state to go on from."""
    if batch.all_carry is not NULL:
        memset(batch.all_carry, 0, batch.run.batch_size * batch.carry_size * sizeof(floating))


cdef inline bint has_rate(const Pass* batch) noexcept nogil:
    """Whether the rate of the next batch is known: a schedule's are given for some time ahead."""
    cdef const Run* run = batch.run
    if batch.rates is NULL:
        return True
    return (run.epoch if run.scheduled == BY_EPOCH else run.step) < run.first_rate + batch.rate_count


cdef inline void end_epoch(Run* run, double clock, double rate, double[:, ::1] curves) noexcept nogil:
    cdef Py_ssize_t index = run.epoch - run.first_epoch
    cdef double weight = run.epoch_weight if run.epoch_weight > 0 else 1
    curves[index, 0] = run.epoch_loss / weight + run.penalty
    curves[index, 1] = run.epoch_metric / weight
    curves[index, 2] = clock - run.started
    curves[index, 3] = rate
    run.position = 0
    run.epoch += 1


cdef inline void begin_batch(Run* run, Py_ssize_t rows, const floating* weights, const Py_ssize_t* order) noexcept nogil:
    """The weight that the gradients of a batch are divided by must be known before its first piece."""
    cdef Py_ssize_t i
    run.batch_rows = rows
    run.batch_loss = 0
    run.batch_metric = 0
    run.batch_weight = rows
    if weights is not NULL:
        run.batch_weight = 0
        for i in range(run.position, run.position + rows):
            run.batch_weight += weights[order[i] if order is not NULL else i]


cdef inline void end_batch(Run* run) noexcept nogil:
    run.epoch_loss += run.batch_loss
    run.epoch_metric += run.batch_metric
    run.epoch_weight += run.batch_weight
    run.position += run.batch_rows
    run.row = 0


cdef inline void place_piece(Pass* batch, floating* arena, Py_ssize_t* row_labels, Py_ssize_t* row_lengths) noexcept nogil:
    """Where the rows of a piece lie: among the samples or, where they must be gathered, in the arena."""
    cdef const Run* run = batch.run
    cdef bint shuffled = batch.order is not NULL
    cdef Py_ssize_t positions = batch.ops[batch.count - 1].positions
    batch.way = run.batch_rows
    batch.first = run.position + run.row
    if batch.all_carry is not NULL:
        batch.carry = <floating*>batch.all_carry + run.row * batch.carry_size
    batch.x = gather.direct(batch.all_x, batch.first, <const floating*>arena)
    batch.gather_x = shuffled or batch.x is NULL
    if batch.gather_x:
        batch.x = arena
    batch.targets = NULL
    batch.gather_targets = False
    if batch.all_targets.rows > 0:
        batch.targets = gather.direct(batch.all_targets, batch.first, <const floating*>arena)
        batch.gather_targets = shuffled or batch.targets is NULL
        if batch.gather_targets:
            batch.targets = arena + batch.rows * run.targets
    batch.labels = row_labels
    if batch.all_labels is NULL or not shuffled:
        batch.labels = batch.all_labels + batch.first * positions if batch.all_labels is not NULL else NULL
    batch.weights = arena + batch.rows * run.weights
    if batch.all_weights is NULL or not shuffled:
        batch.weights = <const floating*>batch.all_weights + batch.first if batch.all_weights is not NULL else NULL
    batch.lengths = row_lengths
    if batch.all_lengths is NULL or not shuffled:
        batch.lengths = batch.all_lengths + batch.first if batch.all_lengths is not NULL else NULL
