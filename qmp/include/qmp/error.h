/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * QmpError:
 * @QMP_ERROR_LINK: the link could not be made, or dropped
 * @QMP_ERROR_NO_GREETING: connected, but nobody speaks: another client holds the monitor
 * @QMP_ERROR_PROTOCOL: what came is not QMP; the message quotes it
 * @QMP_ERROR_TIMEOUT: a deadline passed; the command may still take effect
 * @QMP_ERROR_COMMAND: QEMU refused the command (class GenericError, or one unknown here)
 * @QMP_ERROR_COMMAND_NOT_FOUND: QEMU does not know the command
 * @QMP_ERROR_DEVICE_NOT_FOUND: QEMU does not know the device
 * @QMP_ERROR_DEVICE_NOT_ACTIVE: the device has no job, or is not active
 * @QMP_ERROR_JOB: a job ended with an error, or was cancelled
 * @QMP_ERROR_UNSUPPORTED: this QEMU cannot do what was asked
 * @QMP_ERROR_FLOOD: the link was dropped, as the peer said too much that nobody had asked for
 */
typedef enum
{
  QMP_ERROR_LINK,
  QMP_ERROR_NO_GREETING,
  QMP_ERROR_PROTOCOL,
  QMP_ERROR_TIMEOUT,
  QMP_ERROR_COMMAND,
  QMP_ERROR_COMMAND_NOT_FOUND,
  QMP_ERROR_DEVICE_NOT_FOUND,
  QMP_ERROR_DEVICE_NOT_ACTIVE,
  QMP_ERROR_JOB,
  QMP_ERROR_UNSUPPORTED,
  QMP_ERROR_FLOOD,
} QmpError;

#define QMP_ERROR (qmp_error_quark ())
GQuark      qmp_error_quark           (void);

/* What a refused command was and what QEMU said; NULL for errors that no reply caused. */
const char *qmp_error_get_class       (const GError *error);
const char *qmp_error_get_description (const GError *error);
const char *qmp_error_get_command     (const GError *error);
const char *qmp_error_get_arguments   (const GError *error);

G_END_DECLS
