# One piece of a batch on its way through the network and back: included by _core.pyx.
#
# A step has two phases, so that threads can share it and the bits do not depend on their number. First every part takes some
# rows: gather, forward, loss, deltas. Then every part takes some rows of the weights, over all rows of the piece: gradient and
# update. Every number is computed by one part in a fixed order.

cdef enum Phase:
    GATHER
    FORWARD
    ACTIVATION
    LOSS
    SLOPE
    INPUT_GRADIENT
    WEIGHT_GRADIENT
    UPDATE
    REST
    PHASE_COUNT

PHASES = ("gather", "forward", "activation", "loss", "slope", "input gradient", "weight gradient", "update", "rest")


cdef struct Laps:
    # A stop watch: the seconds of every phase, and when the last one ended.
    double seconds[PHASE_COUNT]
    double last


cdef inline void lap(Laps* laps, int phase) noexcept nogil:
    """The phase ends now; without a watch (laps NULL) nothing happens."""
    cdef double clock
    if laps is not NULL:
        clock = now()
        laps.seconds[phase] += clock - laps.last
        laps.last = clock


cdef struct Pass:
    # One piece of a batch on its way through the network, as all threads see it. Arrays of numbers are void, since a struct
    # cannot be fused; the two tasks below cast them back.
    const Op* ops
    Py_ssize_t count
    Run* run
    Py_ssize_t rows             # of the piece
    const Source* all_x         # the samples
    Py_ssize_t all_rows
    const Source* all_targets
    const Py_ssize_t* all_labels
    const void* all_weights
    const Py_ssize_t* order     # of the samples; NULL: as they come
    Py_ssize_t first            # place in that order of the piece's first row
    const void* x               # the piece's rows, as they lie among the samples or gathered in the arena
    Py_ssize_t ldx
    bint gather_x
    const void* targets
    Py_ssize_t ldy
    bint gather_targets
    const Py_ssize_t* labels
    const void* weights
    double* row_loss
    double* row_metric
    void* parameters
    void* gradient
    void* state1
    void* state2
    void* arena
    void* scratch               # every thread has a part of it
    Py_ssize_t scratch_size     # of that part
    optimizers.Rule rule
    bint updating               # whether an update follows this piece's gradient
    bint fused                  # the loss includes the last activation
    Laps* laps                  # of the calling thread; NULL: nobody looks


cdef inline Py_ssize_t share(Py_ssize_t rows, int part, int parts) noexcept nogil:
    """The first row of part number `part`; the tile likes multiples of four."""
    return min(rows, (rows * part // parts + 3) // 4 * 4)


# --- phase one: every part takes some rows through the network, to the deltas of all layers -----------------------------------

cdef void rows_task_float32(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    rows_task(batch, part, parts, member, <float*>batch.arena)

cdef void rows_task_float64(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    rows_task(batch, part, parts, member, <double*>batch.arena)


cdef void rows_task(Pass* batch, int part, int parts, int member, floating* arena) noexcept nogil:
    cdef Py_ssize_t first = share(batch.rows, part, parts)
    cdef Py_ssize_t rows = share(batch.rows, part + 1, parts) - first
    cdef const floating* x = <const floating*>batch.x + first * batch.ldx
    cdef Laps* laps = batch.laps if member == 0 else NULL
    cdef Py_ssize_t index
    if rows <= 0:
        return
    collect(batch, first, rows, arena)
    lap(laps, GATHER)
    forward(batch.ops, batch.count, <const floating*>batch.parameters, batch.rows, first, rows, x, batch.ldx, arena,
            batch.fused, laps)
    loss_of_rows(batch, first, rows, arena)
    lap(laps, LOSS)
    if parts > 1 and batch.run.mode != EVALUATE:
        for index in range(batch.count - 1, -1, -1):
            deltas_of_layer(batch, index, first, rows, arena, member)


cdef inline void deltas_of_layer(
    Pass* batch, Py_ssize_t index, Py_ssize_t first, Py_ssize_t rows, floating* arena, int member,
) noexcept nogil:
    backward_rows(batch.ops, index, <const floating*>batch.parameters, batch.rows, first, rows, <floating*>NULL, 0, arena,
                  <floating*>batch.scratch + member * batch.scratch_size, batch.fused and index == batch.count - 1,
                  batch.laps if member == 0 else NULL)


cdef void collect(Pass* batch, Py_ssize_t first, Py_ssize_t rows, const floating* like) noexcept nogil:
    """Rows of the piece that do not lie right among the samples: shuffled, converted, or not contiguous."""
    cdef Py_ssize_t sample = batch.first + first
    cdef Py_ssize_t r
    if batch.gather_x:
        gather_rows(batch.all_x, batch.order, sample, rows, <floating*>batch.x + first * batch.ldx, batch.ldx)
    if batch.gather_targets:
        gather_rows(batch.all_targets, batch.order, sample, rows, <floating*>batch.targets + first * batch.ldy, batch.ldy)
    if batch.order is NULL:
        return
    if batch.all_labels is not NULL:
        for r in range(rows):
            (<Py_ssize_t*>batch.labels)[first + r] = batch.all_labels[batch.order[sample + r]]
    if batch.all_weights is not NULL:
        for r in range(rows):
            (<floating*>batch.weights)[first + r] = (<const floating*>batch.all_weights)[batch.order[sample + r]]


cdef void forward(
    const Op* ops, Py_ssize_t count, const floating* parameters, Py_ssize_t batch, Py_ssize_t first, Py_ssize_t rows,
    const floating* x, Py_ssize_t ldx, floating* arena, bint keep_last_sums, Laps* laps,
) noexcept nogil:
    """Outputs of all layers into the slots of `rows` rows from row `first` of the batch on; with keep_last_sums the last
    layer's activation is left to the fused loss."""
    cdef Py_ssize_t index
    cdef const Op* op
    cdef const floating* bias
    cdef floating* z
    cdef floating* a
    for index in range(count):
        op = &ops[index]
        z = arena + batch * op.sums + first * op.width
        a = arena + batch * op.output + first * op.width
        bias = parameters + op.bias if op.bias >= 0 else NULL
        dense_forward(rows, op.inputs, op.width, x, ldx, parameters + op.weight, bias, z)
        lap(laps, FORWARD)
        if index < count - 1 or not keep_last_sums:
            activations.activate(<int>op.activation, rows, op.units, op.width, z, a)
            lap(laps, ACTIVATION)
        x = a
        ldx = op.width


cdef void loss_of_rows(Pass* batch, Py_ssize_t first, Py_ssize_t rows, floating* arena) noexcept nogil:
    """Loss and metric of every row, and the gradient of the outputs in the last delta slot."""
    cdef const Run* run = batch.run
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef const floating* targets = <const floating*>batch.targets
    cdef const floating* weights = <const floating*>batch.weights
    cdef Py_ssize_t r
    losses.loss_rows(
        <int>run.loss, batch.fused, run.delta, rows, last.units, last.width,
        1 / run.batch_weight if run.batch_weight > 0 else 0,
        arena + batch.rows * last.output + first * last.width, targets + first * batch.ldy if targets is not NULL else NULL,
        batch.ldy, batch.labels + first if batch.labels is not NULL else NULL,
        weights + first if weights is not NULL else NULL, arena + batch.rows * last.delta + first * last.width,
        batch.row_loss + first, batch.row_metric + first)
    if weights is not NULL:
        for r in range(first, first + rows):
            if weights[r] == 0:
                silence_row(batch.ops, batch.count, batch.rows, r, arena)


cdef void silence_row(const Op* ops, Py_ssize_t count, Py_ssize_t rows, Py_ssize_t r, floating* arena) noexcept nogil:
    """Take a row of weight 0 out of the gradient: 0 times an output that overflowed would be NaN."""
    cdef Py_ssize_t index, size
    cdef const Op* op
    for index in range(count):
        op = &ops[index]
        size = op.width * sizeof(floating)
        memset(arena + rows * op.output + r * op.width, 0, size)
        memset(arena + rows * op.sums + r * op.width, 0, size)
        memset(arena + rows * op.delta + r * op.width, 0, size)


cdef void backward_rows(
    const Op* ops, Py_ssize_t index, const floating* parameters, Py_ssize_t batch, Py_ssize_t first, Py_ssize_t rows,
    floating* first_dx, Py_ssize_t first_lddx, floating* arena, floating* scratch, bint is_done, Laps* laps,
) noexcept nogil:
    """One layer back: from the gradient of its output, in its delta slot, to the gradient of its weighted sums in the same
    place (with is_done it is that already, from a fused loss) and the gradient of its input, in the delta slot of the layer
    before or in first_dx, if that is not NULL."""
    cdef const Op* op = &ops[index]
    cdef floating* dz = arena + batch * op.delta + first * op.width
    cdef floating* dx = first_dx
    cdef Py_ssize_t lddx = first_lddx
    if not is_done:
        activations.activate_backward(<int>op.activation, rows, op.units, op.width,
                                      arena + batch * op.sums + first * op.width,
                                      arena + batch * op.output + first * op.width, dz)
        lap(laps, SLOPE)
    if index > 0:
        lddx = ops[index - 1].width
        dx = arena + batch * ops[index - 1].delta + first * lddx
    if dx is not NULL:
        dense_backward_input(batch, rows, op.inputs, op.units, op.width, parameters + op.weight, scratch, dz, dx, lddx)
        lap(laps, INPUT_GRADIENT)


# --- phase two: every part takes some rows of the weights, over the whole piece -----------------------------------------------

cdef void weights_task_float32(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    weights_task(batch, part, parts, member, <float*>batch.arena)

cdef void weights_task_float64(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    weights_task(batch, part, parts, member, <double*>batch.arena)


cdef void weights_task(Pass* batch, int part, int parts, int member, floating* arena) noexcept nogil:
    """Gradients of all parameters, and their update; a part is a stretch of all weights laid end to end."""
    cdef Py_ssize_t total = 0, before = 0
    cdef Py_ssize_t index, first, end
    cdef const Op* op
    for index in range(batch.count):
        total += batch.ops[index].inputs * batch.ops[index].width
    for index in range(batch.count):
        op = &batch.ops[index]
        first = row_at(total * part // parts - before, op)
        end = op.inputs if part + 1 == parts else row_at(total * (part + 1) // parts - before, op)
        before += op.inputs * op.width
        if first < end:
            backward_weights(batch, index, first, end, arena, batch.laps if member == 0 else NULL)


cdef inline Py_ssize_t row_at(Py_ssize_t offset, const Op* op) noexcept nogil:
    """The row of a layer's weights at an offset, at the next whole tile; within the layer."""
    cdef Py_ssize_t row = offset // op.width // tile.TILE_ROWS * tile.TILE_ROWS if offset > 0 else 0
    return row if row < op.inputs else op.inputs


cdef void backward_weights(
    Pass* batch, Py_ssize_t index, Py_ssize_t first, Py_ssize_t end, floating* arena, Laps* laps,
) noexcept nogil:
    """The gradients of a layer's weights of inputs `first` to `end` and, with the first, of the bias; with a rule also their
    update.

    The update follows block by block, while the block of the gradient is still in the first-level cache: in a large
    network that saves two of seven passes over arrays as long as the parameters. A batch that comes in pieces is gathered in
    the whole gradient; otherwise the blocks of a thread take one place, one after the other.
    """
    cdef const Op* op = &batch.ops[index]
    cdef const floating* x = (
        <const floating*>batch.x if index == 0 else arena + batch.rows * batch.ops[index - 1].output)
    cdef Py_ssize_t ldx = batch.ldx if index == 0 else batch.ops[index - 1].width
    cdef const floating* dz = arena + batch.rows * op.delta
    cdef bint accumulate = batch.run.row > 0
    cdef bint whole = not accumulate and batch.updating
    cdef Py_ssize_t block = max(1, GRADIENT_BLOCK // op.width // tile.TILE_ROWS) * tile.TILE_ROWS
    cdef Py_ssize_t row = first
    cdef Py_ssize_t n, offset
    cdef floating* gradient = <floating*>batch.gradient
    cdef floating* g
    while row < end:
        n = min(block, end - row)
        offset = op.weight + row * op.width
        g = gradient + (op.weight + first * op.width if whole else offset)
        dense_backward_weight(batch.rows, n, op.width, accumulate, x + row, ldx, dz, g)
        lap(laps, WEIGHT_GRADIENT)
        end_gradient(batch, True, n * op.width, offset, g)
        lap(laps, UPDATE)
        row += n
    if first == 0 and op.bias >= 0:
        dense_backward_bias(batch.rows, op.width, accumulate, dz, gradient + op.bias)
        lap(laps, WEIGHT_GRADIENT)
        end_gradient(batch, False, op.width, op.bias, gradient + op.bias)
        lap(laps, UPDATE)


cdef void end_gradient(Pass* batch, bint is_weight, Py_ssize_t n, Py_ssize_t offset, floating* g) noexcept nogil:
    """What comes after the gradient of the n parameters from `offset` on: their update or, in the last piece of a batch without
    one, the gradient of the penalties."""
    cdef const Run* run = batch.run
    cdef floating* parameters = <floating*>batch.parameters + offset
    cdef floating* state1 = <floating*>batch.state1 + offset if batch.state1 is not NULL else NULL
    cdef floating* state2 = <floating*>batch.state2 + offset if batch.state2 is not NULL else NULL
    if batch.updating:
        optimizers.update(&batch.rule, is_weight, n, parameters, g, state1, state2)
    elif is_weight and run.row + batch.rows == run.batch_rows:
        optimizers.add_penalty(n, parameters, g, <floating>run.l1, <floating>run.l2)


cdef double penalty(const Op* ops, Py_ssize_t count, const Run* run, const floating* w) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t index
    if run.l1 == 0 and run.l2 == 0:
        return 0
    for index in range(count):
        total += optimizers.penalty(ops[index].inputs * ops[index].width, w + ops[index].weight, run.l1, run.l2)
    return total


# --- the whole piece ----------------------------------------------------------------------------------------------------------

cdef void one_piece(Pass* batch, floating* arena, TeamState* team) noexcept nogil:
    """Forward, loss and (unless evaluating) backward for some rows of a batch, and the update after its last ones.

    A batch whose loss is not finite changes nothing. A team computes the deltas of all layers before any weight changes; one
    thread goes back layer by layer, while the weights of the layer are still in its cache (5 % of a step of 784-512-512-10).
    """
    cdef Run* run = batch.run
    cdef Py_ssize_t index
    cdef Py_ssize_t next_rows = batch.all_rows - batch.first - batch.rows
    lap(batch.laps, REST)
    team_run(team, rows_task_float32 if floating is float else rows_task_float64, batch)
    add_losses(batch, arena)
    run.diverged = run.mode == TRAIN and not isfinite(run.batch_loss + run.penalty)
    lap(batch.laps, LOSS)
    if run.diverged or run.mode == EVALUATE:
        return
    if next_rows > 0 and FETCH_FROM <= batch.rows * batch.ldx <= FETCH_UP_TO:
        gather.fetch_ahead(batch.all_x, batch.order, batch.first + batch.rows, min(batch.rows, next_rows))
    batch.updating = run.mode == TRAIN and run.row + batch.rows == run.batch_rows and run.batch_weight > 0
    if batch.updating:
        run.step += 1
        optimizers.begin_step(&batch.rule, <double>run.step)
    if team is not NULL:
        team_run(team, weights_task_float32 if floating is float else weights_task_float64, batch)
        return
    for index in range(batch.count - 1, -1, -1):
        deltas_of_layer(batch, index, 0, batch.rows, arena, 0)
        backward_weights(batch, index, 0, batch.ops[index].inputs, arena, batch.laps)


cdef void add_losses(Pass* batch, const floating* like) noexcept nogil:
    """The rows' losses and metrics to the run's, in the order of the rows whoever computed them."""
    cdef Run* run = batch.run
    cdef const floating* weights = <const floating*>batch.weights
    cdef double weight
    cdef Py_ssize_t r
    for r in range(batch.rows):
        weight = weights[r] if weights is not NULL else 1
        run.batch_loss += weight * batch.row_loss[r]
        run.epoch_metric += weight * batch.row_metric[r]


# --- the rows of the data -----------------------------------------------------------------------------------------------------

cdef void gather_rows(
    const Source* data, const Py_ssize_t* order, Py_ssize_t first, Py_ssize_t rows, floating* out, Py_ssize_t ld,
) noexcept nogil:
    """gather() once for all callers: its loops for every dtype are long when inlined."""
    gather.gather(data, order, first, rows, out, ld)


cdef const floating* rows_of(const Source* data, Py_ssize_t first, Py_ssize_t rows, floating* scratch) noexcept nogil:
    """Some rows, `columns` long: as they lie if they lie right, else gathered into scratch."""
    cdef const floating* found = gather.direct(data, first, <const floating*>scratch)
    if found is not NULL:
        return found
    gather_rows(data, NULL, first, rows, scratch, data.columns)
    return scratch
