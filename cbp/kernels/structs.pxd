# The structs through which Python and the core talk: arrays of Op and Run are NumPy structured arrays on the Python side
# (dtypes OP and RUN of the module), a Source is a bytes object. All fields have eight bytes, so no compiler puts gaps between
# them.

from libc.stdint cimport int64_t, uint64_t


cdef packed struct Op:
    # One operation. A sample's value is `positions` rows (pixels, time steps; 1 for plain features) of some numbers each.
    # Offsets are counted in numbers: those of parameters from the start of the flat parameter vector (-1: none), slots from the
    # start of the arena, for one sample: the slot of a piece of r samples starts at r times the offset.
    int64_t kind
    int64_t activation
    # What it reads ...
    int64_t input          # slot; -1: the samples themselves
    int64_t in_positions
    int64_t inputs         # numbers of a position
    int64_t in_width       # from one position to the next: `inputs` padded to a multiple of 16, but not among the samples
    int64_t d_input        # slot of the gradient, its positions padded; -1: that of the samples
    int64_t second         # a second input, of the positions of the output
    int64_t d_second
    int64_t second_units
    # ... what it writes ...
    int64_t positions
    int64_t units
    int64_t width          # units padded to a multiple of 16: the length of a position in the next three slots
    int64_t sums           # weighted sums; the same slot as the output where the derivative does not need them
    int64_t output
    int64_t d_output       # gradient of the output, then of the weighted sums
    int64_t extra          # what else the way back needs of a sample, extra_size numbers
    int64_t extra_size
    int64_t shared         # place in the workspace: numbers that belong to no sample
    # ... its parameters: a matrix and a row ...
    int64_t weight
    int64_t weight_rows
    int64_t weight_width
    int64_t bias
    int64_t bias_width
    int64_t unpenalised    # neither l1, l2 nor weight decay act on the matrix
    int64_t fixed_weight   # training leaves the matrix, or the row, as it is: nobody needs its gradient
    int64_t fixed_bias
    int64_t sparse         # only those rows of the matrix are updated that occur in the batch
    int64_t statistics     # place among the statistics, which no optimizer moves
    int64_t rests          # takes its statistics as they are, in training too
    # ... windows, of convolution and pooling ...
    int64_t in_h
    int64_t in_w
    int64_t out_h
    int64_t out_w
    int64_t kernel_h
    int64_t kernel_w
    int64_t stride_h
    int64_t stride_w
    int64_t pad_h          # above the first row
    int64_t pad_w          # before the first column
    int64_t dilation_h
    int64_t dilation_w
    int64_t groups
    # ... time ...
    int64_t timed          # the positions of the input are the steps of the sample, of which its length counts
    int64_t reverse        # time runs from the end
    int64_t sequences      # the output of every step, not of the last alone
    int64_t bptt           # no gradient crosses the boundaries of stretches of so many steps; 0: none
    int64_t carry          # place of the state that is carried from batch to batch, in a row's part of the carry; -1: none
    int64_t cell           # which recurrence
    int64_t state_activation   # of the state of an RNN
    # ... and numbers of a layer's own.
    double work            # multiplications of a row on the way forward, roughly
    int64_t stream         # of random numbers
    double drop_rate
    double deviation
    double epsilon
    double momentum


cdef packed struct Source:
    # A table of numbers in memory that belongs to the user. Strides are in bytes, may be negative or 0, and keep every number
    # aligned.
    uint64_t address
    int64_t dtype          # `Dtype` in kernels/gather.pxd
    int64_t rows
    int64_t columns
    int64_t row_stride
    int64_t column_stride


cdef packed struct Segment:
    # An array of parameters that training changes, for an update that waits for the whole gradient.
    int64_t offset
    int64_t count
    int64_t penalised      # weight decay acts on it
    int64_t row            # of so many numbers, of a sparse table: one that does not occur stays; 0: all numbers are changed
    int64_t marks          # place in the workspace of those of a table's rows
    double multiplier      # of the rate


cdef enum Schedule:
    UNSCHEDULED
    BY_STEP
    BY_EPOCH


cdef enum Mode:
    TRAIN
    GRADIENT      # the gradient of one batch, no update
    EVALUATE      # loss and metric, no gradient


cdef packed struct Run:
    # What a pass over the data does ...
    int64_t mode           # a Mode
    int64_t loss           # these two: places in the tables of the core
    double constant        # the loss's own number, as huber's delta
    int64_t optimizer
    double rate
    int64_t scheduled      # a Schedule: what the rates of a schedule are counted by, if there is one
    int64_t first_rate     # the step or epoch that the first of them belongs to
    double weight_decay
    double memory1
    double memory2
    double epsilon
    double limit
    double clip_value      # of every number of the gradient; this and the next two: 0 for none
    double clip_array      # of the norm of every array's gradient
    double clip_norm       # of the norm of the whole gradient
    int64_t deferred       # the update waits for the whole gradient
    int64_t averaged       # averages of the parameters that were taken so far
    int64_t average_start  # the step after which the first one is taken; 0: nobody averages
    int64_t average_every
    double average_memory  # of an exponential average; 0: all that were taken count alike
    double l1
    double l2
    int64_t batch_size
    int64_t piece          # rows that go through the network at once: a larger batch is taken in pieces
    int64_t targets        # slots of the arena for targets and weights of shuffled rows, counted as in Op
    int64_t weights
    int64_t shares         # slot for the weight of every position of the outputs
    int64_t timed          # the positions of the outputs are the steps of the inputs, of which lengths count
    int64_t training       # batch statistics and noise: always while training, for a gradient on demand
    int64_t fresh          # the state that goes from batch to batch starts every epoch from 0
    int64_t shuffle
    uint64_t seed
    int64_t first_epoch    # the value of `epoch` that belongs to the first entry of the curves
    # ... and where it stands: with these fields a later call goes on where an earlier one stopped.
    int64_t epoch
    int64_t step
    int64_t position       # rows of the epoch that have been used for complete batches
    int64_t batch_rows     # rows of the current batch
    int64_t row            # rows of the current batch that are already in the gradient
    double batch_weight
    double batch_loss      # of the current batch, not yet divided by its weight
    double batch_metric
    double epoch_weight
    double epoch_loss
    double epoch_metric
    double penalty         # of l1 and l2, at the beginning of the epoch
    double started         # clock at the beginning of the run
    int64_t diverged
