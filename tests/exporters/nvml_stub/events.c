/* Events: `events=8:79,8:48` of a device, each `type:data` in the order in which they happen, is a list that only
 * grows. An entry is delivered once to each event set that the device is registered with; a shorter list starts anew.
 */
#include "stub.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { device_t *device; ulong64 type, data; uint gpu_instance, compute_instance; } event_t;
typedef struct { bool used; ulong64 types[GPUS]; unsigned long delivered[GPUS]; } event_set_t;

enum { SETS = 64, POLL_US = 20000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static event_set_t sets[SETS];

static bool is_set(const event_set_t *set) { return set >= sets && set < sets + SETS && set->used; }

int nvmlEventSetCreate(event_set_t **set) {
    int code = begin(NULL, __func__);
    if (code != SUCCESS) return code;
    code = INSUFFICIENT_SIZE;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SETS && code != SUCCESS; i++) {
        if (sets[i].used) continue;
        sets[i] = (event_set_t){.used = true};
        *set = &sets[i];
        code = SUCCESS;
    }
    pthread_mutex_unlock(&lock);
    return code;
}

int nvmlEventSetFree(event_set_t *set) {
    int code = begin(NULL, __func__);
    pthread_mutex_lock(&lock);
    if (code == SUCCESS && !is_set(set)) code = INVALID_ARGUMENT;
    if (code == SUCCESS) set->used = false;
    pthread_mutex_unlock(&lock);
    return code;
}

int nvmlDeviceGetSupportedEventTypes(const device_t *device, ulong64 *types) {
    return answer_u64(device, __func__, "event_types", types);
}

int nvmlDeviceRegisterEvents(const device_t *device, ulong64 types, event_set_t *set) {
    ulong64 supported;
    int code = answer_u64(device, __func__, "event_types", &supported);
    if (code != SUCCESS) return code;
    if (types & ~supported) return NOT_SUPPORTED;
    pthread_mutex_lock(&lock);
    if (!is_set(set)) code = INVALID_ARGUMENT;
    else set->types[device->gpu] |= types;
    pthread_mutex_unlock(&lock);
    return code;
}

/* The next event of one device, with the lock held. */
static bool next_of(event_set_t *set, int gpu, event_t *event) {
    char text[TEXT], *rest = text, *item;
    unsigned long total = 0;
    bool found = false;
    if (set->types[gpu] == 0 || !find_text(handle_of(gpu, WHOLE), "events", text, sizeof text)) return false;
    for (; (item = strtok_r(rest, ",", &rest)) != NULL; total++) {
        event_t next = {.device = handle_of(gpu, WHOLE), .gpu_instance = ~0u, .compute_instance = ~0u};
        if (found || total < set->delivered[gpu]) continue;
        if (sscanf(item, "%lli:%lli", (long long *)&next.type, (long long *)&next.data) != 2) continue;
        set->delivered[gpu] = total + 1;
        found = (next.type & set->types[gpu]) != 0;
        if (found) *event = next;
    }
    if (set->delivered[gpu] > total) set->delivered[gpu] = total;
    return found;
}

static int next(event_set_t *set, event_t *event) {
    int code = TIMEOUT;
    pthread_mutex_lock(&lock);
    if (!is_set(set)) code = INVALID_ARGUMENT;
    for (int gpu = 0; gpu < GPUS && code == TIMEOUT; gpu++)
        if (next_of(set, gpu, event)) code = SUCCESS;
    pthread_mutex_unlock(&lock);
    return code;
}

int nvmlEventSetWait_v2(event_set_t *set, event_t *event, uint timeout_ms) {
    int code = begin(NULL, __func__);
    if (code != SUCCESS) return code;
    for (ulong64 waited = 0;; waited += POLL_US) {
        code = next(set, event);
        if (code != TIMEOUT || waited >= timeout_ms * 1000ULL) return code;
        ulong64 left = timeout_ms * 1000ULL - waited;
        sleep_us(left < POLL_US ? left : POLL_US);
    }
}
