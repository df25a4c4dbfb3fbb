# Recurrent layers as ops. Formulas and sources: cbp/layers/recurrent.py.
#
# The `extra` slot of a piece holds three tables, one after the other, a row for every step of every sample in that order:
#   states (inputs + width)   [x_t | h], what goes into step t: the samples' numbers and the state before it
#   gates                     the weighted sums of the gates, then their factors (kernels/recurrent.pxd), then their gradients
#   keep                      factors between the gradients of one state and the next
# Input and recurrent weights lie one after the other in the flat vector: as one matrix, whose product with [x_t | h] makes a
# step, and whose gradient is the product of all states with all gates. A sample shorter than the others holds its state at the
# steps that do not count: their factors are 0.
#
# A GRU's gates stand in the order n's share of the input, r, z, n's share of the state: both products then take neighbours.

from cython cimport floating
from libc.math cimport ceil
from libc.string cimport memset

from cbp.kernels cimport recurrent
from cbp.kernels.activations cimport Activation, Size, activate, activate_backward
from cbp.kernels.dense cimport ONE32, ONE64, STRIP, transpose
from cbp.kernels.structs cimport EVALUATE, Op
from cbp.kernels.tile cimport multiply
from cbp.ops.parts cimport end_part, next_part
from cbp.ops.passes cimport SUMS_INPUTS, Kind, Needs, Pass, d_input_of, d_output_of, input_of, output_of, padded, slot_of


cdef enum Cell:
    RNN
    LSTM
    GRU

cdef enum:
    MOST_WALKERS = 48        # samples that go through time together: their step stays in the first-level cache
    FEW_WALKERS = 4          # fewer leave most of the tile empty
    GATES_BLOCK = 131072     # numbers of gates, of some steps, that stay in the second-level cache ...
    RECURRENT_BLOCK = 65536  # ... while so many numbers of a weight gradient are summed: long sequences twice as fast


cdef inline Py_ssize_t states_width(const Op* op) noexcept nogil:
    return op.inputs + op.width


cdef inline Py_ssize_t gates_width(const Op* op) noexcept nogil:
    return op.width if op.cell == RNN else 4 * op.width


cdef inline Py_ssize_t keep_width(const Op* op) noexcept nogil:
    return 2 * op.width if op.cell == LSTM else (op.width if op.cell == GRU else 0)


cdef inline floating* states_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    return slot_of(batch, op.extra, op.in_positions * states_width(op), first, arena)


cdef inline floating* gates_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    return slot_of(batch, op.extra + padded(op.in_positions * states_width(op)), op.in_positions * gates_width(op), first,
                   arena)


cdef inline floating* keep_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    return slot_of(batch, op.extra + padded(op.in_positions * states_width(op)) + op.in_positions * gates_width(op),
                   op.in_positions * keep_width(op), first, arena)


cdef inline floating* carry_of(const Pass* batch, const Op* op, Py_ssize_t row, const floating* like) noexcept nogil:
    """The state that a row goes on from and leaves behind; NULL: it starts from 0."""
    if op.carry < 0 or batch.carry is NULL:
        return NULL
    return <floating*>batch.carry + row * batch.carry_size + op.carry


cdef inline const floating* bias_of(const Pass* batch, const Op* op, Py_ssize_t place, const floating* like) noexcept nogil:
    """The biases from a place on; NULL: there are none."""
    return <const floating*>batch.parameters + op.bias + place if op.bias >= 0 else NULL


cdef inline Py_ssize_t length_of(const Pass* batch, const Op* op, Py_ssize_t row) noexcept nogil:
    """How many steps of a row count."""
    return batch.lengths[row] if batch.lengths is not NULL and op.timed else op.in_positions


cdef inline bint counts(const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t t) noexcept nogil:
    return t < length_of(batch, op, row)


cdef inline Py_ssize_t time_of(const Op* op, Py_ssize_t step) noexcept nogil:
    return op.in_positions - 1 - step if op.reverse else step


cdef inline bint is_learning(const Pass* batch) noexcept nogil:
    """Whether there will be a way back."""
    return batch.run is not NULL and batch.run.mode != EVALUATE


cdef inline void recurrent_silence(const Pass* batch, const Op* op, Py_ssize_t row, floating* arena) noexcept nogil:
    """What silence_row() does, for the tables of a recurrent op."""
    memset(states_of(batch, op, row, arena), 0, op.in_positions * states_width(op) * sizeof(floating))
    memset(gates_of(batch, op, row, arena), 0, op.in_positions * gates_width(op) * sizeof(floating))
    memset(keep_of(batch, op, row, arena), 0, op.in_positions * keep_width(op) * sizeof(floating))


# --- forward -----------------------------------------------------------------------------------------------------------------

cdef inline void recurrent_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef Py_ssize_t end = first + rows
    while first < end:
        walk(batch, op, first, min(<Py_ssize_t>MOST_WALKERS, end - first), arena, scratch)
        first += MOST_WALKERS


cdef inline void walk(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* cells,
) noexcept nogil:
    """Some samples through all steps; `cells` has room for two rows of `width` numbers for each of the most that can be: the
    cells of an LSTM, then the last states."""
    cdef Py_ssize_t step
    begin_walk(batch, op, first, rows, arena, cells)
    if rows < FEW_WALKERS or op.cell == GRU:
        sums_of_inputs(batch, op, first, rows, arena)
    for step in range(op.in_positions):
        sums_of_step(batch, op, first, rows, step, arena)
        cells_of_step(batch, op, first, rows, step, arena, cells)
    end_walk(batch, op, first, rows, arena, cells)


cdef inline void begin_walk(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* cells,
) noexcept nogil:
    """The inputs and the first state into the table of states."""
    cdef Py_ssize_t steps = op.in_positions, ld = states_width(op)
    cdef Py_ssize_t r
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef const floating* carried
    cdef floating* states = states_of(batch, op, first, arena)
    cdef floating* state = states + time_of(op, 0) * ld + op.inputs
    for r in range(rows * steps):
        copy_row(op.inputs, x + r * op.in_width, states + r * ld)
    for r in range(rows):
        carried = carry_of(batch, op, first + r, arena)
        if carried is NULL:
            clear_row(op.width, state + r * steps * ld)
            clear_row(op.width, cells + r * op.width)
        else:
            copy_row(op.width, carried, state + r * steps * ld)
            if op.cell == LSTM:
                copy_row(op.width, carried + op.width, cells + r * op.width)


cdef inline void end_walk(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, const floating* arena, const floating* cells,
) noexcept nogil:
    """The last state, which the last step left behind the cells, to where the next batch finds it."""
    cdef floating* carried
    cdef Py_ssize_t r
    for r in range(rows):
        carried = carry_of(batch, op, first + r, arena)
        if carried is NULL:
            return
        copy_row(op.width, cells + (MOST_WALKERS + r) * op.width, carried)
        if op.cell == LSTM:
            copy_row(op.width, cells + r * op.width, carried + op.width)


cdef inline void copy_row(Py_ssize_t n, const floating* a, floating* b) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        b[j] = a[j]


cdef inline void clear_row(Py_ssize_t n, floating* a) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        a[j] = 0


cdef inline void sums_of_inputs(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena,
) noexcept nogil:
    """The inputs' share of the sums, with the bias, of all steps in one product: where single steps have few rows, and what a
    GRU's n takes from the inputs alone."""
    cdef Py_ssize_t width = op.width, ld = states_width(op), ldg = gates_width(op), n = rows * op.in_positions
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef const floating* states = states_of(batch, op, first, arena)
    cdef floating* gates = gates_of(batch, op, first, arena)
    if op.cell != GRU:
        multiply(n, ldg, op.inputs, states, ld, 1, weight, ldg, bias_of(batch, op, 0, arena), 0, gates, ldg)
        return
    multiply(n, width, op.inputs, states, ld, 1, weight + 2 * width, 3 * width, bias_of(batch, op, 2 * width, arena), 0, gates,
             ldg)
    if rows < FEW_WALKERS:
        multiply(n, 2 * width, op.inputs, states, ld, 1, weight, 3 * width, bias_of(batch, op, 0, arena), 0, gates + width, ldg)


cdef inline void sums_of_step(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t step, floating* arena,
) noexcept nogil:
    """The sums of one step of some samples.

    In batches of few samples to learn from, every other step goes through the weights from the end: a good part of them is
    still in the first-level cache then, which makes the product half as fast again. Predictions sum in one order.
    """
    cdef Py_ssize_t width = op.width, inputs = op.inputs, units = op.units
    cdef Py_ssize_t ld = states_width(op), ldg = gates_width(op), ldw = op.weight_width
    cdef Py_ssize_t t = time_of(op, step), steps = op.in_positions
    cdef bint few = rows < FEW_WALKERS
    cdef bint upwards = batch.way < FEW_WALKERS and step % 2 == 1 and is_learning(batch)
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef const floating* from_state = weight + inputs * ldw
    cdef const floating* states = states_of(batch, op, first, arena) + t * ld
    cdef floating* gates = gates_of(batch, op, first, arena) + t * ldg
    cdef Py_ssize_t columns = ldg
    if op.cell == GRU:
        gates += width
        columns = 2 * width
        share_of_state(rows, units, width, upwards, states + inputs, steps * ld, from_state + 2 * width, ldw,
                       bias_of(batch, op, 3 * width, arena), 0, gates + 2 * width, steps * ldg)
    if few:
        share_of_state(rows, units, columns, upwards, states + inputs, steps * ld, from_state, ldw, gates, steps * ldg,
                       gates, steps * ldg)
    else:
        multiply(rows, columns, inputs + units, states, steps * ld, 1, weight, ldw, bias_of(batch, op, 0, arena), 0, gates,
                 steps * ldg)


cdef inline void share_of_state(
    Py_ssize_t rows, Py_ssize_t units, Py_ssize_t columns, bint upwards, const floating* h, Py_ssize_t ldh,
    const floating* weight, Py_ssize_t ldw, const floating* start, Py_ssize_t start_stride, floating* z, Py_ssize_t ldz,
) noexcept nogil:
    """z = start + h U, summed from the last unit to the first if `upwards`."""
    if upwards:
        multiply(rows, columns, units, h + units - 1, ldh, -1, weight + (units - 1) * ldw, -ldw, start, start_stride, z, ldz)
    else:
        multiply(rows, columns, units, h, ldh, 1, weight, ldw, start, start_stride, z, ldz)


cdef inline void cells_of_step(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t step, floating* arena, floating* cells,
) noexcept nogil:
    """The states after a step, to where the next one reads them and to the outputs."""
    cdef Py_ssize_t steps = op.in_positions, ld = states_width(op), ldg = gates_width(op), ldk = keep_width(op)
    cdef Py_ssize_t t = time_of(op, step)
    cdef Py_ssize_t next_t = time_of(op, step + 1)
    cdef bint last = step + 1 == steps
    cdef bint learning = is_learning(batch)
    cdef floating* output = output_of(batch, op, first, arena) + (t * op.width if op.sequences else 0)
    cdef Py_ssize_t ldo = op.positions * op.width
    cdef const floating* before = states_of(batch, op, first, arena) + t * ld + op.inputs
    cdef floating* after = states_of(batch, op, first, arena) + next_t * ld + op.inputs
    cdef floating* gates = gates_of(batch, op, first, arena) + t * ldg
    cdef floating* keep = keep_of(batch, op, first, arena) + t * ldk
    cdef Py_ssize_t r
    if last:
        after = cells + MOST_WALKERS * op.width
    for r in range(rows):
        if counts(batch, op, first + r, t):
            cell(batch, op, learning, gates + r * steps * ldg, keep + r * steps * ldk, cells + r * op.width,
                 before + r * steps * ld, after + r * (op.width if last else steps * ld))
        else:
            clear_row(ldg, gates + r * steps * ldg)
            copy_row(op.width, before + r * steps * ld, after + r * (op.width if last else steps * ld))
        if op.sequences and not counts(batch, op, first + r, t):
            clear_row(op.width, output + r * ldo)
        elif last or op.sequences:
            copy_row(op.width, after + r * (op.width if last else steps * ld), output + r * ldo)


cdef inline void cell(
    const Pass* batch, const Op* op, bint learning, floating* gates, floating* keep, floating* c,
    const floating* before, floating* after,
) noexcept nogil:
    """One step of one sample."""
    if op.cell == LSTM and learning:
        recurrent.lstm_forward(True, op.width, gates, keep, c, after)
    elif op.cell == LSTM:
        recurrent.lstm_forward(False, op.width, gates, keep, c, after)
    elif op.cell == GRU and learning:
        recurrent.gru_forward(True, op.width, gates, keep, before, after)
    elif op.cell == GRU:
        recurrent.gru_forward(False, op.width, gates, keep, before, after)
    else:
        rnn_cell(batch, op, learning, gates, after)


cdef inline void rnn_cell(const Pass* batch, const Op* op, bint learning, floating* z, floating* h) noexcept nogil:
    """h = f(z); learning, z becomes f'(z)."""
    cdef const Activation* activation = &batch.activations[op.state_activation]
    cdef Size size = Size(1, op.units, op.width)
    cdef Py_ssize_t j
    activate(activation, size, z, h)
    if learning:
        for j in range(op.width):
            z[j] = 1
        activate_backward(activation, size, h, h, z)


# --- back --------------------------------------------------------------------------------------------------------------------

cdef inline void recurrent_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef Py_ssize_t depth = op.weight_width, end = first + rows
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef floating* mirror = scratch                          # the recurrent weights transposed
    cdef floating* strip = mirror + depth * op.width         # some of the other weights transposed
    cdef floating* states = strip + depth * STRIP      # gradients of the walkers' states
    transpose(op.units, depth, weight + op.inputs * depth, depth, mirror, op.width)
    while first < end:
        rows = min(<Py_ssize_t>MOST_WALKERS, end - first)
        walk_back(batch, op, first, rows, arena, mirror, states)
        inputs_back(batch, op, first, rows, arena, strip)
        first += rows


cdef inline void walk_back(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, const floating* mirror, floating* dh,
) noexcept nogil:
    """Some samples back through all steps: the gradients of all gates."""
    cdef Py_ssize_t step
    cdef floating* dc = dh + MOST_WALKERS * op.width
    clear_row(rows * op.width, dh)
    clear_row(rows * op.width, dc)
    for step in range(op.in_positions - 1, -1, -1):
        if op.sequences or step == op.in_positions - 1:
            add_delta(batch, op, first, rows, step, arena, dh)
        cells_back(batch, op, first, rows, step, arena, dh, dc)
        if step > 0:
            through_state(batch, op, first, rows, step, arena, mirror, dh, dc)


cdef inline void add_delta(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t step, floating* arena, floating* dh,
) noexcept nogil:
    """The gradient of the output of a step."""
    cdef Py_ssize_t t = time_of(op, step)
    cdef const floating* delta = d_output_of(batch, op, first, arena) + (t * op.width if op.sequences else 0)
    cdef Py_ssize_t ld = op.positions * op.width
    cdef Py_ssize_t r, j
    for r in range(rows):
        if not op.sequences or counts(batch, op, first + r, t):
            for j in range(op.width):
                dh[r * op.width + j] += delta[r * ld + j]


cdef inline void cells_back(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t step, floating* arena, floating* dh,
    floating* dc,
) noexcept nogil:
    """The gradients of a step's gates; dh becomes what reaches the state before without going through the weights."""
    cdef Py_ssize_t steps = op.in_positions, ldg = gates_width(op), ldk = keep_width(op), width = op.width
    cdef Py_ssize_t t = time_of(op, step)
    cdef floating* gates = gates_of(batch, op, first, arena) + t * ldg
    cdef const floating* keep = keep_of(batch, op, first, arena) + t * ldk
    cdef Py_ssize_t r
    for r in range(rows):
        if not counts(batch, op, first + r, t):
            continue
        if op.cell == LSTM:
            recurrent.lstm_backward(width, gates + r * steps * ldg, keep + r * steps * ldk, dh + r * width, dc + r * width)
        elif op.cell == GRU:
            recurrent.gru_backward(width, gates + r * steps * ldg, keep + r * steps * ldk, dh + r * width)
        else:
            recurrent.rnn_backward(width, gates + r * steps * ldg, dh + r * width)


cdef inline void through_state(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t step, floating* arena,
    const floating* mirror, floating* dh, floating* dc,
) noexcept nogil:
    """From the gates of a step to the state before it, where no stretch of steps ends. In turn upwards and downwards, as in
    sums_of_step()."""
    cdef Py_ssize_t depth = op.weight_width, width = op.width, steps = op.in_positions, ldg = gates_width(op)
    cdef const floating* gates = gates_of(batch, op, first, arena) + time_of(op, step) * ldg
    cdef Py_ssize_t r
    if op.cell == GRU:
        gates += width
    if step % 2:
        multiply(rows, width, depth, gates + depth - 1, steps * ldg, -1, mirror + (depth - 1) * width, -width, dh, width, dh,
                 width)
    else:
        multiply(rows, width, depth, gates, steps * ldg, 1, mirror, width, dh, width, dh, width)
    if op.bptt > 0:
        for r in range(rows):
            if begins_stretch(batch, op, first + r, step):
                clear_row(width, dh + r * width)
                clear_row(width, dc + r * width)


cdef inline bint begins_stretch(const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t step) noexcept nogil:
    """Whether no gradient goes from a step to the one before it, counted from the first that counts in the row."""
    cdef Py_ssize_t length = length_of(batch, op, row)
    cdef Py_ssize_t skipped = op.in_positions - length if op.reverse else 0
    return step > skipped and (step - skipped) % op.bptt == 0 and counts(batch, op, row, time_of(op, step))


cdef inline void inputs_back(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* strip,
) noexcept nogil:
    """From the gates of all steps to the inputs; steps that do not count have gates of gradient 0."""
    cdef Py_ssize_t depth = op.weight_width, width = op.width, ld = padded(op.inputs), n, j = 0
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef floating* dx = d_input_of(batch, op, first, arena)
    if dx is NULL:
        return
    while j < op.inputs:
        n = min(<Py_ssize_t>STRIP, op.inputs - j)
        if op.cell == GRU:   # n's weights first, as its gates stand
            transpose(n, width, weight + j * depth + 2 * width, depth, strip, STRIP)
            transpose(n, 2 * width, weight + j * depth, depth, strip + width * STRIP, STRIP)
        else:
            transpose(n, depth, weight + j * depth, depth, strip, STRIP)
        multiply(rows * op.in_positions, STRIP if ld - j >= STRIP else 16, depth, gates_of(batch, op, first, arena),
                 gates_width(op), 1, strip, STRIP, <const floating*>NULL, 0, dx + j, ld)
        j += STRIP


# --- the parameters ----------------------------------------------------------------------------------------------------------

cdef inline void recurrent_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* _scratch,
    floating* g,
) noexcept nogil:
    """Rows of the weights and, after those of the inputs, of the recurrent weights."""
    cdef Py_ssize_t width = op.width, before = max(min(n, op.inputs - row), 0)
    cdef const floating* gates = gates_of(batch, op, 0, arena)
    if op.cell != GRU:
        states_by_gates(batch, op, row, n, op.weight_width, accumulate, gates, arena, g)
        return
    if before > 0:
        states_by_gates(batch, op, row, before, 2 * width, accumulate, gates + width, arena, g)
        states_by_gates(batch, op, row, before, width, accumulate, gates, arena, g + 2 * width)
    if before < n:
        states_by_gates(batch, op, row + before, n - before, 3 * width, accumulate, gates + width, arena,
                        g + before * op.weight_width)


cdef inline void states_by_gates(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, Py_ssize_t columns, bint accumulate, const floating* gates,
    floating* arena, floating* g,
) noexcept nogil:
    """The product of the states, transposed, with the gradients of some gates, over all steps of all samples: so many at a time
    that all rows of the weights find the gates in the second-level cache."""
    cdef Py_ssize_t ld = states_width(op), ldg = gates_width(op), ldw = op.weight_width
    cdef Py_ssize_t steps = batch.rows * op.in_positions, most = max(<Py_ssize_t>64, GATES_BLOCK // ldg), done = 0, depth
    cdef const floating* states = states_of(batch, op, 0, arena) + row
    while done < steps:
        depth = next_part(batch, op, done, min(steps - done, most))
        multiply(n, columns, depth, states, 1, ld, gates, ldg, g if accumulate else NULL, ldw, g, ldw)
        end_part(batch, op, done, depth, n, columns, ldw, g)
        states += depth * ld
        gates += depth * ldg
        done += depth
        accumulate = True


cdef inline void recurrent_backward_bias(
    const Pass* batch, const Op* op, bint accumulate, floating* arena, floating* _scratch, floating* g,
) noexcept nogil:
    cdef Py_ssize_t width = op.width
    cdef const floating* gates = gates_of(batch, op, 0, arena)
    if op.cell != GRU:
        sum_of_gates(batch, op, gates_width(op), accumulate, gates, g)
        return
    sum_of_gates(batch, op, 2 * width, accumulate, gates + width, g)
    sum_of_gates(batch, op, width, accumulate, gates, g + 2 * width)
    sum_of_gates(batch, op, width, accumulate, gates + 3 * width, g + 3 * width)


cdef inline void sum_of_gates(
    const Pass* batch, const Op* op, Py_ssize_t columns, bint accumulate, const floating* gates, floating* g,
) noexcept nogil:
    """The same product with ones for the states."""
    cdef Py_ssize_t steps = batch.rows * op.in_positions, ldg = gates_width(op), done = 0, depth
    cdef const floating* one
    if floating is float:
        one = &ONE32
    else:
        one = &ONE64
    while done < steps:
        depth = next_part(batch, op, done, steps - done)
        multiply(1, columns, depth, one, 0, 0, gates + done * ldg, ldg, g if accumulate else NULL, 0, g, 0)
        end_part(batch, op, done, depth, 1, columns, columns, g)
        done += depth


cdef inline void recurrent_needs(Op* op, Needs* needs) noexcept nogil:
    """Kept: the three tables. Scratch: the recurrent weights turned, a strip of the others, two rows for each walker."""
    cdef double states = <double>op.in_positions * states_width(op)
    needs.work = <double>op.in_positions * op.weight_rows * op.weight_width
    needs.scratch = op.weight_width * <double>(op.width + STRIP) + 2.0 * MOST_WALKERS * op.width
    needs.kept = ceil(states / 16) * 16 + <double>op.in_positions * (gates_width(op) + keep_width(op))
    needs.carried = 2 * op.width if op.cell == LSTM else op.width

cdef inline void rnn_needs(Op* op, Needs* needs) noexcept nogil:
    op.cell = RNN
    recurrent_needs(op, needs)

cdef inline void lstm_needs(Op* op, Needs* needs) noexcept nogil:
    op.cell = LSTM
    recurrent_needs(op, needs)

cdef inline void gru_needs(Op* op, Needs* needs) noexcept nogil:
    op.cell = GRU
    recurrent_needs(op, needs)


cdef inline void recurrent_kind(Kind* kind) noexcept:
    kind.forward32, kind.forward64 = recurrent_forward, recurrent_forward
    kind.backward32, kind.backward64 = recurrent_backward_rows, recurrent_backward_rows
    kind.weight32, kind.weight64 = recurrent_backward_weight, recurrent_backward_weight
    kind.bias32, kind.bias64 = recurrent_backward_bias, recurrent_backward_bias
    kind.silence32, kind.silence64 = recurrent_silence, recurrent_silence
    kind.block = RECURRENT_BLOCK
    kind.sums = SUMS_INPUTS

cdef inline void rnn_kind(Kind* kind) noexcept:
    recurrent_kind(kind)
    kind.name = "rnn"
    kind.needs = rnn_needs

cdef inline void lstm_kind(Kind* kind) noexcept:
    recurrent_kind(kind)
    kind.name = "lstm"
    kind.needs = lstm_needs

cdef inline void gru_kind(Kind* kind) noexcept:
    recurrent_kind(kind)
    kind.name = "gru"
    kind.needs = gru_needs
