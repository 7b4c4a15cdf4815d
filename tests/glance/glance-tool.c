/* SPDX-License-Identifier: Apache-2.0 */

/* A store of images from the command line, for scenarios with a real service. Prints images as
 * JSON; an error as "word: message", with status 1. */

#include <core/error.h>
#include <glib-unix.h>
#include <image/stores.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char *token_file;
static char *cloud;
static char *clouds_file;
static char *ca_file;
static char *name;
static gboolean folder;
static gboolean hidden;
static gboolean blank;
static int timeout_s = 60;

static const GOptionEntry entries[] = {
  { "token-file", 0, 0, G_OPTION_ARG_FILENAME, &token_file, "Who we are", "FILE" },
  { "cloud", 0, 0, G_OPTION_ARG_STRING, &cloud, "Who we are, and where when URL is empty", "NAME" },
  { "clouds-file", 0, 0, G_OPTION_ARG_FILENAME, &clouds_file, "Where the cloud is", "FILE" },
  { "ca-file", 0, 0, G_OPTION_ARG_FILENAME, &ca_file, "Whom we trust", "FILE" },
  { "timeout", 0, 0, G_OPTION_ARG_INT, &timeout_s, "Without a byte", "SECONDS" },
  { "name", 0, 0, G_OPTION_ARG_STRING, &name, "The new image's name", "NAME" },
  { "hidden", 0, 0, G_OPTION_ARG_NONE, &hidden, "The new image is hidden", NULL },
  { "blank", 0, 0, G_OPTION_ARG_NONE, &blank, "Take the backing name out of the stream", NULL },
  { "folder", 0, 0, G_OPTION_ARG_NONE, &folder, "URL is that of no service, but a folder", NULL },
  G_OPTION_ENTRY_NULL
};

static void
keep_result (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static GAsyncResult *
await_result (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);

  return *result;
}

static gboolean
on_signal (gpointer user_data)
{
  g_cancellable_cancel (user_data);

  return G_SOURCE_CONTINUE;
}

static void
on_progress (gint64   done,
             gint64   total,
             gpointer user_data)
{
  fprintf (stderr, "progress %" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n", done, total);
}

static void
print_json (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);

  puts (text);
}

static gboolean
print_image (ImageInfo *image)
{
  g_autoptr (ImageInfo) info = image;
  g_autoptr (JsonNode) node = info != NULL ? image_info_to_json (info) : NULL;

  if (node != NULL)
    print_json (node);

  return node != NULL;
}

/* create ID FORMAT [PROPERTY=VALUE...] */
static gboolean
run_create (ImageStore    *store,
            char         **words,
            GCancellable  *cancellable,
            GError       **error)
{
  g_autoptr (ImageInfo) info = image_info_new ();
  g_autoptr (GAsyncResult) result = NULL;

  info->id = g_strdup (words[0]);
  info->name = g_strdup (name != NULL ? name : "disk");
  info->disk_format = g_strdup (words[1]);
  info->hidden = hidden;
  for (char **word = words + 2; *word != NULL; word++)
    {
      g_auto (GStrv) pair = g_strsplit (*word, "=", 2);

      image_info_set (info, pair[0], pair[1]);
    }

  image_store_create_async (store, info, cancellable, keep_result, &result);

  return image_store_create_finish (store, await_result (&result), error);
}

/* upload ID FILE FORMAT */
static gboolean
run_upload (ImageStore    *store,
            char         **words,
            GCancellable  *cancellable,
            GError       **error)
{
  g_autoptr (ImageSource) source = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  struct stat st;

  if (stat (words[1], &st) < 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "there is no %s", words[1]);
      return FALSE;
    }

  source = layer_source_open (words[1], st.st_dev, st.st_ino, words[2], blank, error);
  if (source == NULL)
    return FALSE;

  image_store_upload_async (store, words[0], source, on_progress, NULL, cancellable, keep_result,
                            &result);

  return print_image (image_store_upload_finish (store, await_result (&result), error));
}

/* get ID */
static gboolean
run_get (ImageStore    *store,
         char         **words,
         GCancellable  *cancellable,
         GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_store_get_async (store, words[0], cancellable, keep_result, &result);

  return print_image (image_store_get_finish (store, await_result (&result), error));
}

/* list */
static gboolean
run_list (ImageStore    *store,
          char         **words,
          GCancellable  *cancellable,
          GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GPtrArray) images = NULL;

  image_store_list_async (store, cancellable, keep_result, &result);
  images = image_store_list_finish (store, await_result (&result), error);
  for (guint i = 0; images != NULL && i < images->len; i++)
    {
      g_autoptr (JsonNode) node = image_info_to_json (images->pdata[i]);

      print_json (node);
    }

  return images != NULL;
}

/* delete ID */
static gboolean
run_delete (ImageStore    *store,
            char         **words,
            GCancellable  *cancellable,
            GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_store_remove_async (store, words[0], cancellable, keep_result, &result);

  return image_store_remove_finish (store, await_result (&result), error);
}

/* identify TOKEN */
static gboolean
run_identify (ImageStore    *store,
              char         **words,
              GCancellable  *cancellable,
              GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (ImageUser) user = NULL;
  g_autofree char *roles = NULL;

  image_store_identify_async (store, words[0], cancellable, keep_result, &result);
  user = image_store_identify_finish (store, await_result (&result), error);
  if (user == NULL)
    return FALSE;

  roles = g_strjoinv (" ", user->roles);
  printf ("{\"user_id\": \"%s\", \"project_id\": \"%s\", \"roles\": \"%s\", \"ours\": %s}\n",
          user->user_id, user->project_id, roles, user->is_ours ? "true" : "false");

  return TRUE;
}

static const struct
{
  const char  *verb;
  guint        words;
  gboolean   (*run) (ImageStore *store, char **words, GCancellable *cancellable, GError **error);
} verbs[] = {
  { "create",   2, run_create   },
  { "upload",   3, run_upload   },
  { "get",      1, run_get      },
  { "list",     0, run_list     },
  { "delete",   1, run_delete   },
  { "identify", 1, run_identify },
};

static gboolean
run (char   **words,
     GError **error)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (ImageStore) store = NULL;
  guint n = g_strv_length (words);
  GlanceStoreSettings settings = {
    .token_file = token_file, .cloud = cloud, .clouds_file = clouds_file, .ca_file = ca_file,
    .timeout_s = (guint) timeout_s, .transfers = 2,
  };

  g_unix_signal_add (SIGINT, on_signal, cancellable);

  if (n < 2)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "which service, and what to do there?");
      return FALSE;
    }

  if (*words[0] != '\0')
    settings.url = words[0];
  if (folder)
    store = folder_store_new (words[0], 2, error);
  else
    store = glance_store_new (&settings, error);
  if (store == NULL)
    return FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    {
      if (g_str_equal (verbs[i].verb, words[1]) && n >= verbs[i].words + 2)
        return verbs[i].run (store, words + 2, cancellable, error);
    }

  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "%s: no such verb, or not all it needs",
                   words[1]);

  return FALSE;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("URL VERB ...");
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || !run (argv + 1, &error))
    {
      fprintf (stderr, "%s: %s\n", agent_error_to_word (error), error->message);
      return EXIT_FAILURE;
    }

  return EXIT_SUCCESS;
}
