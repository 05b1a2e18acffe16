/* What the parts of the stub share: NVML's codes, the handle, and the questions that a part asks the scenario. */
#ifndef NVML_STUB_H
#define NVML_STUB_H

#include <stdbool.h>
#include <stddef.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    TIMEOUT = 10, GPU_IS_LOST = 15, VERSION_MISMATCH = 25,
};
enum { GPUS = 16, SLICES = 8, SYSTEM = -1, COMMON = -2, WHOLE = -1, TEXT = 512 };

typedef unsigned int uint;
typedef unsigned long long ulong64;
typedef struct { int gpu, slice; } device_t; /* slice is WHOLE for the device itself */

/* Where a scenario keeps a key. Device keys are found in the device's section, else in [*]. */
typedef struct { int gpu, slice; } section_t;

/* scenario.c: false where the scenario does not have the key. A number may move: see number() there. */
bool find_text(const device_t *device, const char *key, char *text, size_t size);
bool find_number(const device_t *device, const char *key, ulong64 *value);
bool section_exists(section_t section);
unsigned long scenario_serial(void); /* changes when the scenario was read anew */

/* behaviour.c: the latency, the hang and the error code that a scenario wants of a call. */
int begin(const device_t *device, const char *call);
void sleep_us(ulong64 microseconds);

/* devices.c */
device_t *handle_of(int gpu, int slice);
bool is_handle(const device_t *device);

/* Answer a call with one number or text; NOT_SUPPORTED where the scenario has none. */
int answer_uint(const device_t *device, const char *call, const char *key, uint *value);
int answer_u64(const device_t *device, const char *call, const char *key, ulong64 *value);
int answer_text(const device_t *device, const char *call, const char *key, char *text, uint size);

#endif
