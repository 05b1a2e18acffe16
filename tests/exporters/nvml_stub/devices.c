/* Handles, the system, and what a device is. */
#include "stub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char bus_id_legacy[16];
    uint domain, bus, device, pci_device_id, pci_subsystem_id;
    char bus_id[32];
} pci_info_t;

static device_t handles[GPUS][SLICES + 1];

__attribute__((constructor)) static void fill_handles(void) {
    for (int gpu = 0; gpu < GPUS; gpu++)
        for (int slice = WHOLE; slice < SLICES; slice++) handles[gpu][slice + 1] = (device_t){gpu, slice};
}

device_t *handle_of(int gpu, int slice) { return &handles[gpu][slice + 1]; }

bool is_handle(const device_t *device) {
    return device >= &handles[0][0] && device <= &handles[GPUS - 1][SLICES];
}

int answer_u64(const device_t *device, const char *call, const char *key, ulong64 *value) {
    int code = begin(device, call);
    if (code != SUCCESS) return code;
    return find_number(device, key, value) ? SUCCESS : NOT_SUPPORTED;
}

int answer_uint(const device_t *device, const char *call, const char *key, uint *value) {
    ulong64 found;
    int code = answer_u64(device, call, key, &found);
    if (code == SUCCESS) *value = (uint)found;
    return code;
}

int answer_text(const device_t *device, const char *call, const char *key, char *text, uint size) {
    char found[TEXT];
    int code = begin(device, call);
    if (code != SUCCESS) return code;
    if (!find_text(device, key, found, sizeof found)) return NOT_SUPPORTED;
    if (strlen(found) >= size) return INSUFFICIENT_SIZE;
    strcpy(text, found);
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    static const char *const texts[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power", "Driver Not Loaded",
        "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found", "Function Not Found",
        "Corrupted infoROM", "GPU is lost", "GPU requires restart", "The operating system has blocked the request.",
        "RM has detected an NVML/RM version mismatch.", "In use by another client", "Insufficient Memory", "No data",
    };
    return code >= 0 && code < (int)(sizeof texts / sizeof *texts) ? texts[code] : "Unknown Error";
}

int nvmlSystemGetDriverVersion(char *text, uint size) {
    return answer_text(NULL, __func__, "driver_version", text, size);
}

int nvmlSystemGetNVMLVersion(char *text, uint size) { return answer_text(NULL, __func__, "nvml_version", text, size); }

int nvmlSystemGetCudaDriverVersion(int *version) {
    return answer_uint(NULL, __func__, "cuda_version", (uint *)version);
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) {
    return answer_uint(NULL, __func__, "cuda_version", (uint *)version);
}

int nvmlSystemGetProcessName(uint pid, char *text, uint size) {
    char key[64];
    snprintf(key, sizeof key, "process_name.%u", pid);
    int code = answer_text(NULL, __func__, key, text, size);
    return code == NOT_SUPPORTED ? NOT_FOUND : code;
}

int nvmlDeviceGetCount_v2(uint *count) { return answer_uint(NULL, __func__, "devices", count); }

int nvmlDeviceGetHandleByIndex_v2(uint index, device_t **device) {
    ulong64 count = 0;
    if (!find_number(NULL, "devices", &count) || index >= count || index >= GPUS) return INVALID_ARGUMENT;
    *device = handle_of((int)index, WHOLE);
    return begin(*device, __func__);
}

int nvmlDeviceGetIndex(const device_t *device, uint *index) {
    int code = begin(device, __func__);
    if (code == SUCCESS) *index = (uint)device->gpu;
    return code;
}

int nvmlDeviceGetUUID(const device_t *device, char *text, uint size) {
    return answer_text(device, __func__, "uuid", text, size);
}

int nvmlDeviceGetName(const device_t *device, char *text, uint size) {
    return answer_text(device, __func__, "name", text, size);
}

int nvmlDeviceGetSerial(const device_t *device, char *text, uint size) {
    return answer_text(device, __func__, "serial", text, size);
}

int nvmlDeviceGetMinorNumber(const device_t *device, uint *minor) {
    return answer_uint(device, __func__, "minor", minor);
}

int nvmlDeviceGetCudaComputeCapability(const device_t *device, int *major, int *minor) {
    char text[TEXT];
    int code = answer_text(device, __func__, "compute_capability", text, sizeof text);
    if (code == SUCCESS && sscanf(text, "%d.%d", major, minor) != 2) return INVALID_ARGUMENT;
    return code;
}

int nvmlDeviceGetPciInfo_v3(const device_t *device, pci_info_t *info) {
    ulong64 id = 0;
    memset(info, 0, sizeof *info);
    int code = answer_text(device, __func__, "pci_bus_id", info->bus_id, sizeof info->bus_id);
    if (code != SUCCESS) return code;
    if (sscanf(info->bus_id, "%x:%x:%x", &info->domain, &info->bus, &info->device) != 3) return INVALID_ARGUMENT;
    snprintf(info->bus_id_legacy, sizeof info->bus_id_legacy, "%04X:%02X:%02X.0", info->domain & 0xFFFF,
             info->bus & 0xFF, info->device & 0xFF);
    if (find_number(device, "pci_device_id", &id)) info->pci_device_id = (uint)id;
    if (find_number(device, "pci_subsystem_id", &id)) info->pci_subsystem_id = (uint)id;
    return SUCCESS;
}

int nvmlDeviceGetPersistenceMode(const device_t *device, uint *mode) {
    return answer_uint(device, __func__, "persistence_mode", mode);
}

int nvmlDeviceGetPerformanceState(const device_t *device, uint *state) {
    return answer_uint(device, __func__, "performance_state", state);
}
