/* Who uses a device: processes and MIG slices. */
#include "stub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { uint pid; ulong64 used; uint gpu_instance, compute_instance; } process_t;
typedef struct {
    uint multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_slices, compute_slices;
    ulong64 memory_mib;
} attributes_t;

static const ulong64 NOT_AVAILABLE = ~0ULL;

/* `pid:bytes` or `pid:bytes:gpu instance:compute instance`, comma between; bytes `-` are not known. */
static int processes(const device_t *device, const char *call, const char *key, uint *count, process_t *found) {
    char text[TEXT] = "", *rest = text, *item;
    uint room = *count, total = 0;
    int code = answer_text(device, call, key, text, sizeof text);
    if (code != SUCCESS) return code;
    while ((item = strtok_r(rest, ",", &rest)) != NULL) {
        process_t process = {.used = NOT_AVAILABLE, .gpu_instance = ~0u, .compute_instance = ~0u};
        char *bytes = strchr(item, ':');
        process.pid = (uint)strtoul(item, NULL, 10);
        if (bytes != NULL && bytes[1] != '-') process.used = strtoull(bytes + 1, NULL, 10);
        if (bytes != NULL) sscanf(bytes + 1, "%*[^:]:%u:%u", &process.gpu_instance, &process.compute_instance);
        if (total < room && found != NULL) found[total] = process;
        total++;
    }
    *count = total;
    return total > room || (total && found == NULL) ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(const device_t *device, uint *count, process_t *found) {
    return processes(device, __func__, "processes.compute", count, found);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(const device_t *device, uint *count, process_t *found) {
    return processes(device, __func__, "processes.graphics", count, found);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(const device_t *device, uint *count, process_t *found) {
    return processes(device, __func__, "processes.mps", count, found);
}

/* Before R510 the calls were _v2, with the same layout. */
int nvmlDeviceGetComputeRunningProcesses_v2(const device_t *device, uint *count, process_t *found) {
    return processes(device, __func__, "processes.compute", count, found);
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(const device_t *device, uint *count, process_t *found) {
    return processes(device, __func__, "processes.graphics", count, found);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v2(const device_t *device, uint *count, process_t *found) {
    return processes(device, __func__, "processes.mps", count, found);
}

int nvmlDeviceGetMigMode(const device_t *device, uint *current, uint *pending) {
    ulong64 next;
    int code = answer_uint(device, __func__, "mig_mode", current);
    if (code == SUCCESS) *pending = find_number(device, "mig_mode_pending", &next) ? (uint)next : *current;
    return code;
}

int nvmlDeviceGetMaxMigDeviceCount(const device_t *device, uint *count) {
    ulong64 mode;
    int code = begin(device, __func__);
    *count = find_number(device, "mig_mode", &mode) ? 7 : 0;
    return code;
}

int nvmlDeviceGetMigDeviceHandleByIndex(const device_t *device, uint index, device_t **slice) {
    int code = begin(device, __func__);
    if (code != SUCCESS) return code;
    if (device->slice != WHOLE || index >= SLICES) return INVALID_ARGUMENT;
    if (!section_exists((section_t){device->gpu, (int)index})) return NOT_FOUND;
    *slice = handle_of(device->gpu, (int)index);
    return SUCCESS;
}

int nvmlDeviceIsMigDeviceHandle(const device_t *device, uint *is_slice) {
    int code = begin(device, __func__);
    if (code == SUCCESS) *is_slice = device->slice != WHOLE;
    return code;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(const device_t *slice, device_t **device) {
    int code = begin(slice, __func__);
    if (code != SUCCESS) return code;
    if (slice->slice == WHOLE) return INVALID_ARGUMENT;
    *device = handle_of(slice->gpu, WHOLE);
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(const device_t *slice, uint *id) {
    return answer_uint(slice, __func__, "gpu_instance", id);
}

int nvmlDeviceGetComputeInstanceId(const device_t *slice, uint *id) {
    return answer_uint(slice, __func__, "compute_instance", id);
}

int nvmlDeviceGetAttributes_v2(const device_t *slice, attributes_t *found) {
    ulong64 value;
    memset(found, 0, sizeof *found);
    int code = answer_uint(slice, __func__, "multiprocessors", &found->multiprocessors);
    if (code != SUCCESS) return code;
    if (find_number(slice, "gpu_slices", &value)) found->gpu_slices = (uint)value;
    if (find_number(slice, "compute_slices", &value)) found->compute_slices = (uint)value;
    if (find_number(slice, "memory_mib", &value)) found->memory_mib = value;
    return SUCCESS;
}
